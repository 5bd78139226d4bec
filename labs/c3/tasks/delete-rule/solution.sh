# on: box
nft -a list ruleset
# The number behind `# handle` in the rule's line:
handle=$(nft -a list ruleset | awk '/8.8.8.8/ { print $NF }')
nft delete rule ip table1 chain1 handle $handle
