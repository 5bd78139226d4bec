# in: a second terminal
knetsim link C0w1:eth0 down
# on: C1w1
# After some seconds, nobody listens any more.
while ss -ltn | grep :1028; do sleep 1; done
