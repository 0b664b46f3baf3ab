# Two uses: `course` is the devcontainer; `grading`, built if nothing else is said, grades where bubblewrap cannot be installed
# (docs/lecturer.md says how to run it). Nothing else needs it.
FROM python:3.12-bookworm AS course
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home lecturer && mkdir /course && chown lecturer /course
USER lecturer
WORKDIR /course

FROM course AS grading
COPY --chown=lecturer . .
RUN make .venv/.ready TORCH=cpu
ENTRYPOINT ["make", "grade"]
