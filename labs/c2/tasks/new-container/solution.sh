# in: a second terminal
knetsim create container C0w1.c4
knetsim exec C0w1.c4 -- ip -brief address
