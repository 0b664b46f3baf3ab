# For grading where bubblewrap cannot be installed: docs/lecturer.md says how to run it. Not needed for anything else.
FROM python:3.12-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home lecturer && mkdir /course && chown lecturer /course
USER lecturer
WORKDIR /course
COPY --chown=lecturer . .
RUN make .venv/.ready
ENTRYPOINT ["make", "grade"]
