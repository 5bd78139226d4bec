# in: a second terminal
cat > /tmp/c1.json <<'EOF'
{
  "Network": "11.0.0.0/8",
  "SubnetLen": 24,
  "SubnetMin": "11.100.0.0",
  "SubnetMax": "11.199.0.0",
  "Backend": { "Type": "vxlan", "VNI": 200, "Port": 8472 }
}
EOF
knetsim flannel C1 /tmp/c1.json
