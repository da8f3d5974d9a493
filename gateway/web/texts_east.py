"""The words on the pages that people see, in Japanese, Korean and Russian.

Invariant: every language says everything. This file knows no markup.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.web.text_shapes import ChannelText, Texts

JAPANESE = Texts(
    language="ja",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="メール",
                stop="メールでのご案内を停止する",
                on="メールでご案内をお届けしています。",
                off="メールでのご案内は停止しています。",
            ),
            "sms": ChannelText(
                name="SMS",
                stop="SMSでのご案内を停止する",
                on="SMSでご案内をお届けしています。",
                off="SMSでのご案内は停止しています。",
            ),
            "push": ChannelText(
                name="プッシュ通知",
                stop="プッシュ通知でのご案内を停止する",
                on="アプリまたはブラウザーでご案内をお届けしています。",
                off="アプリとブラウザーでのご案内は停止しています。",
            ),
        }
    ),
    title="{brand}からのご案内の設定",
    lead="ボタンを押すと停止します。押すまでは何も変わりません。",
    nothing_on="現在、ご案内はすべて停止しています。下から再開できます。",
    choose="受け取り方法を選ぶ",
    campaign=ChannelText(
        name="このシリーズのご案内",
        stop="このシリーズを停止する",
        on="今回のメッセージと同じシリーズのご案内をお届けしています。",
        off="今回のメッセージと同じシリーズのご案内は停止しています。",
    ),
    save="設定を保存する",
    stop_all="すべてのご案内を停止する",
    stop_all_hint="どの方法でも、ご案内をお送りしません。",
    done_title="設定しました",
    done_lead="現在の設定は次のとおりです。",
    noted_lead="設定を保存しました。今から有効です。",
    change_more="ほかの設定を変更する",
    goodbye_title="ご利用ありがとうございました",
    goodbye_lead="{brand}からのご案内は、メール、SMS、プッシュ通知のいずれも停止しました。",
    goodbye_still="ご注文やアカウントに関するお知らせは、引き続きお届けします。",
    return_hint="間違えて押しましたか？",
    return_button="ご案内の受け取りを再開する",
    missing_title="このリンクは使えません",
    missing_lead="リンクが途中で切れている可能性があります。メッセージからもう一度開いてください。",
    unavailable_title="ただいま処理できませんでした",
    unavailable_lead="何も変更されていません。1分ほどしてからもう一度お試しください。",
    refused_title="処理できませんでした",
    refused_lead="お届けしたメッセージから、リンクをもう一度開いてください。",
    footer="{brand}からメッセージをお送りしたため、このページが表示されています。",
)

KOREAN = Texts(
    language="ko",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="이메일",
                stop="이메일 혜택 안내 중지",
                on="이메일로 혜택 안내를 받고 있습니다.",
                off="이메일로 혜택 안내를 받지 않습니다.",
            ),
            "sms": ChannelText(
                name="문자 메시지",
                stop="문자 혜택 안내 중지",
                on="문자 메시지로 혜택 안내를 받고 있습니다.",
                off="문자 메시지로 혜택 안내를 받지 않습니다.",
            ),
            "push": ChannelText(
                name="푸시 알림",
                stop="푸시 혜택 안내 중지",
                on="앱이나 브라우저로 혜택 안내를 받고 있습니다.",
                off="앱이나 브라우저로 혜택 안내를 받지 않습니다.",
            ),
        }
    ),
    title="{brand} 메시지 수신 설정",
    lead="버튼을 누르면 중지됩니다. 누르기 전에는 아무것도 바뀌지 않습니다.",
    nothing_on="현재 혜택 안내를 받지 않습니다. 아래에서 다시 켤 수 있습니다.",
    choose="수신 방법 선택",
    campaign=ChannelText(
        name="이 시리즈의 안내",
        stop="이 시리즈 중지",
        on="받으신 메시지와 같은 시리즈의 안내를 받고 있습니다.",
        off="받으신 메시지와 같은 시리즈의 안내를 받지 않습니다.",
    ),
    save="선택 저장",
    stop_all="모든 혜택 안내 중지",
    stop_all_hint="어떤 방법으로도 혜택 안내를 보내지 않습니다.",
    done_title="완료되었습니다",
    done_lead="지금부터 다음과 같이 적용됩니다.",
    noted_lead="선택이 저장되어 지금부터 적용됩니다.",
    change_more="다른 설정 변경",
    goodbye_title="그동안 감사했습니다",
    goodbye_lead="{brand}에서 이메일, 문자, 푸시로 혜택 안내를 더 이상 보내지 않습니다.",
    goodbye_still="주문이나 계정에 관한 안내는 계속 보내 드립니다.",
    return_hint="실수로 누르셨나요?",
    return_button="혜택 안내 다시 받기",
    missing_title="사용할 수 없는 링크입니다",
    missing_lead="링크가 잘렸거나 잘못 입력되었을 수 있습니다. 받은 메시지에서 다시 열어 주세요.",
    unavailable_title="지금은 처리할 수 없습니다",
    unavailable_lead="아무것도 바뀌지 않았습니다. 1분 후에 다시 시도해 주세요.",
    refused_title="처리하지 못했습니다",
    refused_lead="받은 메시지에서 링크를 다시 열어 주세요.",
    footer="{brand}에서 메시지를 보내 드려 이 페이지가 표시됩니다.",
)

RUSSIAN = Texts(
    language="ru",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="Эл. почта",
                stop="Отключить предложения по почте",
                on="Вы получаете предложения по эл. почте.",
                off="Вы не получаете предложений по эл. почте.",
            ),
            "sms": ChannelText(
                name="СМС",
                stop="Отключить предложения по СМС",
                on="Вы получаете предложения по СМС.",
                off="Вы не получаете предложений по СМС.",
            ),
            "push": ChannelText(
                name="Push-уведомления",
                stop="Отключить push-предложения",
                on="Вы получаете предложения в приложении или браузере.",
                off="Вы не получаете предложений в приложении или браузере.",
            ),
        }
    ),
    title="Ваши сообщения от {brand}",
    lead="Одно нажатие отключит их. До нажатия ничего не изменится.",
    nothing_on="Вы не получаете наших предложений. Ниже их можно снова включить.",
    choose="Выбрать по каналам",
    campaign=ChannelText(
        name="Эта серия предложений",
        stop="Отключить эту серию",
        on="Вы получаете серию, к которой относится ваше сообщение.",
        off="Вы больше не получаете серию, к которой относится ваше сообщение.",
    ),
    save="Сохранить выбор",
    stop_all="Отключить все предложения",
    stop_all_hint="Больше никаких предложений от нас, ни по одному каналу.",
    done_title="Готово",
    done_lead="С этого момента действует следующее:",
    noted_lead="Ваш выбор сохранён и уже действует.",
    change_more="Изменить что-то ещё",
    goodbye_title="До свидания, и спасибо",
    goodbye_lead="{brand} больше не пришлёт вам предложений: ни по почте, ни по СМС, ни push.",
    goodbye_still="Сообщения о заказе и вашей учётной записи будут приходить по-прежнему.",
    return_hint="Нажали по ошибке?",
    return_button="Снова получать предложения",
    missing_title="Эта ссылка не работает",
    missing_lead="Возможно, она скопирована не полностью. Откройте её ещё раз из сообщения.",
    unavailable_title="Сейчас это не получилось",
    unavailable_lead="Ничего не изменилось. Попробуйте ещё раз через минуту.",
    refused_title="Не получилось",
    refused_lead="Откройте ссылку ещё раз из полученного сообщения.",
    footer="Вы видите эту страницу, потому что вам пришло сообщение от {brand}.",
)
