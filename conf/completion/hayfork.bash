# Bash completion for hayfork(8).
_hayfork()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    case $before in
    -c)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames
        ;;
    -r)
        mapfile -t COMPREPLY < <(compgen -W "$(pgrep -x -o hayfork 2>/dev/null)" -- "$word")
        ;;
    -o)
        mapfile -t COMPREPLY < <(compgen -S = -W 'listen workers user log database.connect database.read database.max
            limits.drain limits.deadline limits.clients' -- "$word")
        compopt -o nospace
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W '-c -o -t --db -T -r --version --help' -- "$word")
        ;;
    esac
}
complete -F _hayfork hayfork
