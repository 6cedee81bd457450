# Passes the output of `cargo test` on and adds its many `test result:` lines up:
# test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

{ print; fflush() }

/^test result: / {
    binaries++
    for (field = 2; field <= NF; field++) {
        sub(/[;,]$/, "", $field)
        sum[$field] += $(field - 1)
    }
}

END {
    printf "\n%d passed, %d failed, %d ignored, in %d test binaries\n",
        sum["passed"], sum["failed"], sum["ignored"], binaries
}
