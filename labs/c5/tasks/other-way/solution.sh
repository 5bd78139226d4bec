# in: a second terminal
knetsim create connector C1.reports -k reports:8080 \
    --container c5 --port 8090
knetsim create listener C0.reports -k reports:8080
# on: C0w2.c2
until curl -s C0w1:1028; do sleep 0.2; done
