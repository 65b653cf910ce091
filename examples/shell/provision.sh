#!/bin/sh
# Gives the virtual machines of a host their network, from the records that a control plane keeps of them, with jq.
#
#   sh provision.sh records.json
#
# The host becomes as the records say, whatever it was. Secrets go through a descriptor of their own: neither the spec
# nor any command line has them.
set -eu
guestnet=${GUESTNET:-guestnet}

spec=$(jq '{
  version: 1,
  uplink,
  guests: [.vms[] | . as $vm | {
    name,
    endpoint,
    proxied: [.endpoint],
    interfaces: [{name: "tap\(.name)", mac, public_ipv4, private_ipv4, public_ipv6, private_ipv6}],
    tunnels: [.peers[] | {
      local: $vm.endpoint,
      remote: .endpoint,
      secret: {named: "\($vm.name):\(.endpoint)"},
      pairs: [
        {local: "\($vm.private_ipv4)/32", remote: "\(.private_ipv4)/32"},
        {local: $vm.private_ipv6, remote: .private_ipv6}
      ]
    }]
  }]
}' "$1")

# Standard input is the spec, descriptor 3 the secrets. On failure the command says what, where and what to do, and its
# exit code (65: the spec is wrong, 75: try again, 77: not permitted) is this script's.
jq '[.vms[] | .name as $name | .peers[] | {"\($name):\(.endpoint)": .secret}] | add // {}' "$1" | {
  "$guestnet" apply -f - --secrets fd:3 3<&0 <<EOS
$spec
EOS
}
