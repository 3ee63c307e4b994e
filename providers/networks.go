package providers

import (
	"fmt"
	"net/netip"
)

// OwnAddress is a shell command that prints the address from which the internet sees its caller.
const OwnAddress = "curl -s https://checkip.amazonaws.com"

// notOnInternet are the IPv4 networks from which nobody reaches a public address, with what they are for
// (https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast).
var notOnInternet = []struct {
	network netip.Prefix
	use     string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "reserved"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "for carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
}

// checkAPIAccess adds a problem for each network of APIAccessCIDRs that is none, or that has no address from which a public
// endpoint is reached. A network that also has other addresses, such as 0.0.0.0/0, is accepted.
func (r *Request) checkAPIAccess(p *Problems) {
	for i, cidr := range r.APIAccessCIDRs {
		key := Item(KeyAPIAccessCIDRs, i)
		prefix, ok := p.Network(key, cidr)
		if !ok {
			continue
		}
		for _, special := range notOnInternet {
			if special.network.Bits() <= prefix.Bits() && special.network.Contains(prefix.Addr()) {
				p.Add(key, cidr, fmt.Sprintf("networks on the internet: the addresses of %s are %s, so no client of a public API server has one",
					special.network, special.use), r.setOwnAddress(i))
			}
		}
	}
}

// setOwnAddress returns the command that sets one of the networks that may reach the API server to the caller's own address.
func (r *Request) setOwnAddress(i int) string {
	return r.Set(Item(KeyAPIAccessCIDRs, i), fmt.Sprintf(`"$(%s)/32"`, OwnAddress))
}
