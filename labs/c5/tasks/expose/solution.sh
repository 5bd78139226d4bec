# in: a second terminal
knetsim create connector C0.backend -k backend:8080 \
    --container c4 --port 8090
knetsim create listener C1.backend -k backend:8080
# on: C1w2.c2
# The routers tell each other; that takes a moment.
until curl -s C1w1:1028; do sleep 0.2; done
