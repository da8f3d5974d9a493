# One image for every command: `docker run … winback-gateway run`.
# Everything that is installed was named and hashed in requirements.lock beforehand.

FROM python:3.12.11-slim-bookworm AS build
WORKDIR /src

# The build tools are locked too, and stay behind in this stage.
COPY requirements.lock ./
RUN awk '/^[^ ]/ { wanted = /^(uv|setuptools)==/ } wanted' requirements.lock > build.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r build.lock

COPY pyproject.toml README.md LICENSE ./
COPY channels channels
COPY gateway gateway
COPY templates templates
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m venv --without-pip /opt/winback

# uv checks the hashes of constraints: a package that is not as locked stops the build.
RUN /opt/build/bin/uv pip install --python /opt/winback/bin/python --no-cache --compile-bytecode \
    --only-binary :all: --constraints requirements.lock dist/*.whl


FROM python:3.12.11-slim-bookworm
# Nothing is installed from here on, so what could install goes.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
    && install -d -o 65532 -g 65532 /var/lib/winback
COPY --from=build /opt/winback /opt/winback

ENV PATH=/opt/winback/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# The only folder that is written to, beside /tmp: the root may be read-only.
WORKDIR /var/lib/winback
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["winback"]
CMD ["run"]
