# on: box
# All at once, as a file would have it.
nft -f - <<'RULES'
table ip table1 {
    chain chain1 {
        type filter hook output priority -10
    }
}
RULES
