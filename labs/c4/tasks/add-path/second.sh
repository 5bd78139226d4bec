# on: C0w1
# In nginx's own file, as the controller does it. It lasts until the controller writes the file again.
sed -i 's|^ *location / {|        location /svc3 { proxy_pass http://100.64.11.3:8000; }\n&|' /var/lib/ingress-*/nginx.conf
pkill -HUP -f 'nginx: [m]aster'
for _ in {1..50}; do
    curl -s localhost:8001/svc3 | grep S3 && break
    sleep 0.1
done
