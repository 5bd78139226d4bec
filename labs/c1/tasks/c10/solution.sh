# in: a second terminal
knetsim create container C0w1.c10
knetsim exec C0w1.c10 -- ip -brief address
