# in: a second terminal
knetsim create ingress C0.grp1 --replace --worker C0w1 --port 8001 \
    --path /svc1=one:8000 --path /svc2=two:8000 --path /svc3=three:8000
knetsim exec C0w1 -- curl -s localhost:8001/svc3
