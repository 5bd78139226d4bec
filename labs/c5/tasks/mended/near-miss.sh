# on: base
# The router is started anew, which does not help a cable.
pkill -f '[k]netsim router'
sleep 1
