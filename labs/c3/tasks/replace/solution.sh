# in: a second terminal
knetsim delete container C0w3.shop
knetsim create container C0w3.shop
knetsim exec C0w3.shop -- hostname -I
