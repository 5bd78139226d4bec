# on: C0w1
# In a second terminal:
#   knetsim create ingress C0.grp1 --replace --worker C0w1 --port 8001 \
#       --path /svc1=one:8000 --path /svc2=two:8000 \
#       --path /svc3=three:8000
# Here in nginx's own file. It lasts until the controller writes it again.
path='location /svc3 { proxy_pass http://100.64.11.3:8000; }'
sed -i "s|^ *location / {|        $path\n&|" /var/lib/ingress-*/nginx.conf
pkill -HUP -f 'nginx: [m]aster'
for _ in {1..50}; do
    curl -s localhost:8001/svc3 | grep S3 && break
    sleep 0.1
done
