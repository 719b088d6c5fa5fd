# fish completion for nstool. The candidates come from `nstool complete`.

function __nstool_candidates
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    # Behind -- stands another command: complete that one.
    set -l place (contains --index -- -- $words)
    if test -n "$place"
        complete --do-complete="$(string escape -- $words[(math $place + 1)..-1]) $current"
        return
    end
    $words[1] complete -- $words "$current" 2>/dev/null
end

complete --command nstool --no-files --keep-order --arguments '(__nstool_candidates)'
