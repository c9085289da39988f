#!/bin/sh
# PreToolUse, Bash and Read: blocks `rm -rf` and reads of `.env` files. POSIX sh, no other tools than sed and grep.
# Exit status 2 blocks the call; what stands on standard error is the reason the model is given.
input=$(cat | tr '\n' ' ')

# The text of a string field, still with its JSON escapes: enough to look for words in.
field() {
    printf '%s' "$input" | sed -nE 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"(([^"\\]|\\.)*)".*/\1/p'
}

command=$(field command)
path=$(field file_path)

if printf '%s' "$command" | grep -Eq '(^|[^[:alnum:]_-])rm[[:space:]]+([^;&|]*[[:space:]])?(-[[:alpha:]]*([rR][[:alpha:]]*f|f[[:alpha:]]*[rR])|--recursive[[:space:]]+--force|--force[[:space:]]+--recursive|-[rR][[:space:]]+-f|-f[[:space:]]+-[rR])'; then
    echo "rm -rf is not allowed here: name the files, or move them to ./trash" >&2
    exit 2
fi

if printf '%s' "$command" | grep -Eq '(^|[^[:alnum:]_.-])\.env([^[:alnum:]_.-]|$)'; then
    echo "the command touches .env, which holds secrets: use .env.example" >&2
    exit 2
fi

case "$path" in
    .env | */.env)
        echo "$path holds secrets and is not for reading: use .env.example" >&2
        exit 2
        ;;
esac
exit 0
