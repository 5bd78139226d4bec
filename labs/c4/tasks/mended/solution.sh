# in: a second terminal
knetsim delete container C0w2.ic2
knetsim create container C0w2.ic2 -l app=two -- knetsim serve S2-W2
knetsim delete container C0w3.ic3
knetsim create container C0w3.ic3 -l app=two -- knetsim serve S2-W3
