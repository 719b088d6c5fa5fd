# bash completion for nstool. The candidates come from `nstool complete`.

_nstool() {
    # bash splits words at = and : as well; put together again what stands together.
    local line=${COMP_LINE:0:COMP_POINT} place part blanks
    local -a words=()
    for ((place = 0; place <= COMP_CWORD; place++)); do
        part=${COMP_WORDS[place]}
        ((place == COMP_CWORD)) && part=$line
        blanks=${line%%[![:space:]]*}
        line=${line#"$blanks"}
        ((place == COMP_CWORD)) && part=${part#"$blanks"}
        if ((place == 0)) || [[ -n $blanks ]]; then
            words+=("$part")
        else
            words[${#words[@]} - 1]+=$part
        fi
        line=${line#"$part"}
    done

    # Behind -- stands another command: complete that one, where bash-completion is there to do it.
    for ((place = 1; place < COMP_CWORD; place++)); do
        if [[ ${COMP_WORDS[place]} == -- ]] && declare -F _command_offset >/dev/null; then
            _command_offset $((place + 1))
            return
        fi
    done

    local current=${words[${#words[@]} - 1]} typed=$2 before
    # What bash takes for finished: everything before the last = or :.
    before=${current%"$typed"}
    local candidate value help
    local -a values=() helps=()
    while IFS=$'\t' read -r value help; do
        candidate=${value#"$before"}
        values+=("$candidate")
        helps+=("$help")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" complete -- "${words[@]}" 2>/dev/null)

    COMPREPLY=()
    for place in "${!values[@]}"; do
        # Listed (the second Tab), a value is followed by what it is.
        if ((COMP_TYPE == 63 && ${#values[@]} > 1)) && [[ -n ${helps[place]} ]]; then
            COMPREPLY+=("${values[place]}  (${helps[place]})")
        else
            COMPREPLY+=("$(printf '%q' "${values[place]}")")
        fi
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]] && compopt -o nospace
    return 0
}

complete -o nosort -o bashdefault -F _nstool nstool
