# in: a second terminal
knetsim create ingress C0.grp1 --worker C0w1 --port 8001 \
    --path /svc1=one:8000 --path /svc2=two:8000
