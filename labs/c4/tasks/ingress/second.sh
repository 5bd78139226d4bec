# on: C0w1
# In a second terminal:
#   knetsim create ingress C0.grp1 --worker C0w1 --port 8001 \
#       --path /svc1=one:8000 --path /svc2=two:8000
# Here nginx by hand.
mkdir -p /tmp/door /var/lib/nginx
cat >/tmp/door/nginx.conf <<'CONF'
# Nobody but root may be there.
user root;
pid /tmp/door/pid;
error_log /tmp/door/error.log;
events {}
http {
    access_log /tmp/door/access.log;
    server {
        listen 8001;
        location /svc1 { proxy_pass http://100.64.11.1:8000; }
        location /svc2 { proxy_pass http://100.64.11.2:8000; }
    }
}
CONF
nginx -c /tmp/door/nginx.conf
