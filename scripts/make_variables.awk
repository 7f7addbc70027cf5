# Says what is wrong with the variables of a make command line, or nothing. Reads the Makefile, whose
# help names in brackets what each target takes, and .env.example, whose settings every target takes.
#
# A variable whose help says NAME=yes or NAME=1 takes that, no or nothing, wherever it is set.
#
# -v given: names of the variables, whose values are in the environment as GIVEN_<name>; -v targets:
# the targets asked for.

BEGIN {
    asked_count = split(targets, asked, " ")
    for (i = 1; i <= asked_count; i++) is_asked[asked[i]] = 1
    # An interpreter for the environment (scripts/setup.sh), and what make itself knows.
    known["PYTHON"]; known["SHELL"]
}

FILENAME ~ /Makefile$/ && /^[a-z-]+:.*## .*\[.*\]$/ {
    target = $0
    sub(/:.*/, "", target)
    text = $0
    sub(/.*\[/, "", text)
    while (match(text, /[A-Z_]+=/)) {
        name = substr(text, RSTART, RLENGTH - 1)
        text = substr(text, RSTART + RLENGTH)
        if (target in is_asked && match(text, /^(yes|1)/)) switches[name] = substr(text, 1, RLENGTH)
        takers[name] = takers[name] " " target
        if (target in is_asked && !(name in known)) {
            known[name]
            own = own (own ? ", " : "") name
        }
    }
}

FILENAME ~ /\.env\.example$/ && /^[A-Z_]+=/ {
    sub(/=.*/, "")
    known[$0]
}

# Letters to put in, take out or change until one name is the other.
function distance(a, b,    i, j, row, above, corner, cost) {
    for (j = 0; j <= length(b); j++) row[j] = j
    for (i = 1; i <= length(a); i++) {
        corner = row[0]
        row[0] = i
        for (j = 1; j <= length(b); j++) {
            above = row[j]
            cost = corner + (substr(a, i, 1) != substr(b, j, 1))
            if (above + 1 < cost) cost = above + 1
            if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1
            corner = above
            row[j] = cost
        }
    }
    return row[length(b)]
}

function nearest(name,    other, best, least, d) {
    least = 1 + int((length(name) + 1) / 3)
    for (other in known) {
        d = distance(toupper(name), other)
        if (d < least || (d == least && best && other < best)) {
            least = d
            best = other
        }
    }
    return best
}

END {
    given_count = split(given, names, " ")
    for (i = 1; i <= given_count; i++) {
        name = names[i]
        if (name in known) continue
        meant = nearest(name)
        printf "make %s does not know the variable %s", targets, name
        if (meant) printf ": did you mean %s?", meant
        else if (name in takers) printf ", which is for make%s.", takers[name]
        else printf "."
        printf " %s; nothing was done\n", own ? "It takes " own " and the settings of .env.example" : "It takes the settings of .env.example"
        exit
    }
    for (name in switches) {
        value = ("GIVEN_" name in ENVIRON) ? ENVIRON["GIVEN_" name] : ENVIRON[name]
        if (value == switches[name] || value == "no" || value == "") continue
        gsub(/[^[:print:]]/, "?", value)
        if (length(value) > 40) value = substr(value, 1, 40) "..."
        printf "make %s does not know the value %s of %s: write %s=%s, or leave it out; nothing was done\n", targets, value, name, name, switches[name]
        exit
    }
    for (i = 1; i <= given_count; i++) {
        # make would run what follows the line as a command of its own.
        if (ENVIRON["GIVEN_" names[i]] !~ /[\n\r]/) continue
        printf "make %s: the value of %s has more than one line: write it on one; nothing was done\n", targets, names[i]
        exit
    }
}
