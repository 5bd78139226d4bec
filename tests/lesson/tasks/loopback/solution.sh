# in: a second terminal
knetsim exec box/mine -- ip link set lo up
