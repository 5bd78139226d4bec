# on: box
nft add table ip table1
nft add chain ip table1 chain1 \
    '{ type filter hook output priority 0; policy accept; }'
