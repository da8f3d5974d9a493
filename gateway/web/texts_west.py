"""The words on the pages that people see, in English, Danish and German.

Invariant: every language says everything. This file knows no markup.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.web.text_shapes import ChannelText, Texts

ENGLISH = Texts(
    language="en",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="E-mail",
                stop="Stop e-mail offers",
                on="You get offers by e-mail.",
                off="You get no offers by e-mail.",
            ),
            "sms": ChannelText(
                name="Text messages",
                stop="Stop text offers",
                on="You get offers by text message.",
                off="You get no offers by text message.",
            ),
            "push": ChannelText(
                name="Push messages",
                stop="Stop push offers",
                on="You get offers in the app or browser.",
                off="You get no offers in the app or browser.",
            ),
        }
    ),
    title="Your messages from {brand}",
    lead="One press stops them. Nothing changes until you press.",
    nothing_on="You get no offers from us. You can switch them on again below.",
    choose="Choose by channel",
    campaign=ChannelText(
        name="This series of offers",
        stop="Stop this series",
        on="You get the series that your message belongs to.",
        off="You get no more of the series that your message belongs to.",
    ),
    save="Save my choice",
    stop_all="Stop all offers",
    stop_all_hint="No more offers from us, on any channel.",
    done_title="Done",
    done_lead="This is true from now on:",
    noted_lead="Your choice is kept and counts from now on.",
    change_more="Change something else",
    goodbye_title="Goodbye, and thank you",
    goodbye_lead="{brand} will send you no more offers: not by e-mail, text or push.",
    goodbye_still="What belongs to an order or your account still reaches you.",
    return_hint="Pressed by mistake?",
    return_button="Send me offers again",
    missing_title="This link does not work",
    missing_lead="It may be cut off or mistyped. Please open it again from the message you got.",
    unavailable_title="We could not do that just now",
    unavailable_lead="Nothing has changed. Please try again in a minute.",
    refused_title="That did not work",
    refused_lead="Please open the link again from the message you got.",
    footer="You see this page because {brand} sent you a message.",
)

DANISH = Texts(
    language="da",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="E-mail",
                stop="Stop tilbud på e-mail",
                on="Du får tilbud på e-mail.",
                off="Du får ingen tilbud på e-mail.",
            ),
            "sms": ChannelText(
                name="Sms",
                stop="Stop tilbud på sms",
                on="Du får tilbud på sms.",
                off="Du får ingen tilbud på sms.",
            ),
            "push": ChannelText(
                name="Push-beskeder",
                stop="Stop tilbud som push",
                on="Du får tilbud i appen eller browseren.",
                off="Du får ingen tilbud i appen eller browseren.",
            ),
        }
    ),
    title="Dine beskeder fra {brand}",
    lead="Ét tryk stopper dem. Intet ændres, før du trykker.",
    nothing_on="Du får ingen tilbud fra os. Du kan slå dem til igen herunder.",
    choose="Vælg for hver kanal",
    campaign=ChannelText(
        name="Denne række af tilbud",
        stop="Stop denne række",
        on="Du får den række, som din besked hører til.",
        off="Du får ikke mere af den række, som din besked hører til.",
    ),
    save="Gem mit valg",
    stop_all="Stop alle tilbud",
    stop_all_hint="Ingen flere tilbud fra os, uanset kanal.",
    done_title="Det er gjort",
    done_lead="Fra nu af gælder:",
    noted_lead="Dit valg er gemt og gælder fra nu af.",
    change_more="Ret noget andet",
    goodbye_title="Farvel, og tak for denne gang",
    goodbye_lead="{brand} sender dig ikke flere tilbud: hverken på e-mail, sms eller push.",
    goodbye_still="Det, der hører til en ordre eller din konto, får du stadig.",
    return_hint="Trykkede du forkert?",
    return_button="Send mig tilbud igen",
    missing_title="Linket virker ikke",
    missing_lead="Måske er det skåret over eller tastet forkert. Åbn det igen fra beskeden.",
    unavailable_title="Det kunne vi ikke lige nu",
    unavailable_lead="Intet er ændret. Prøv igen om et minut.",
    refused_title="Det gik ikke",
    refused_lead="Åbn linket igen fra beskeden, du fik.",
    footer="Du ser siden, fordi {brand} har sendt dig en besked.",
)

GERMAN = Texts(
    language="de",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="E-Mail",
                stop="Angebote per E-Mail beenden",
                on="Sie erhalten Angebote per E-Mail.",
                off="Sie erhalten keine Angebote per E-Mail.",
            ),
            "sms": ChannelText(
                name="SMS",
                stop="Angebote per SMS beenden",
                on="Sie erhalten Angebote per SMS.",
                off="Sie erhalten keine Angebote per SMS.",
            ),
            "push": ChannelText(
                name="Push-Mitteilungen",
                stop="Angebote per Push beenden",
                on="Sie erhalten Angebote in der App oder im Browser.",
                off="Sie erhalten keine Angebote in der App oder im Browser.",
            ),
        }
    ),
    title="Ihre Nachrichten von {brand}",
    lead="Ein Klick beendet sie. Vorher ändert sich nichts.",
    nothing_on="Sie erhalten keine Angebote von uns. Unten können Sie sie wieder einschalten.",
    choose="Nach Kanal auswählen",
    campaign=ChannelText(
        name="Diese Angebotsreihe",
        stop="Diese Reihe beenden",
        on="Sie erhalten die Reihe, zu der Ihre Nachricht gehört.",
        off="Sie erhalten nichts mehr aus der Reihe, zu der Ihre Nachricht gehört.",
    ),
    save="Auswahl speichern",
    stop_all="Alle Angebote beenden",
    stop_all_hint="Keine Angebote mehr von uns, auf keinem Kanal.",
    done_title="Erledigt",
    done_lead="Ab jetzt gilt:",
    noted_lead="Ihre Auswahl ist gespeichert und gilt ab jetzt.",
    change_more="Etwas anderes ändern",
    goodbye_title="Auf Wiedersehen und vielen Dank",
    goodbye_lead="{brand} sendet Ihnen keine Angebote mehr: weder per E-Mail noch SMS noch Push.",
    goodbye_still="Was zu einer Bestellung oder Ihrem Konto gehört, erhalten Sie weiterhin.",
    return_hint="Aus Versehen geklickt?",
    return_button="Angebote wieder senden",
    missing_title="Dieser Link funktioniert nicht",
    missing_lead="Vielleicht ist er unvollständig. Bitte öffnen Sie ihn erneut aus der Nachricht.",
    unavailable_title="Das ging gerade nicht",
    unavailable_lead="Es wurde nichts geändert. Bitte versuchen Sie es in einer Minute erneut.",
    refused_title="Das hat nicht geklappt",
    refused_lead="Bitte öffnen Sie den Link erneut aus der Nachricht.",
    footer="Sie sehen diese Seite, weil {brand} Ihnen eine Nachricht gesendet hat.",
)
