# on: box
# What others send, not what box sends.
nft add table ip table1
nft add chain ip table1 chain1 '{ type filter hook input priority 0; policy accept; }'
