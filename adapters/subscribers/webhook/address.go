package webhook

import "net/netip"

// isPublic reports whether an address is one of the public internet, by the registries of special-purpose addresses of IANA. addr is not a mapped one.
func isPublic(addr netip.Addr) bool {
	if addr.Is4() {
		return !inside(addr, special4())
	}
	return globalUnicast6().Contains(addr) && !inside(addr, special6())
}

func inside(addr netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

func net4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

func net6(bits int, groups ...uint16) netip.Prefix {
	var a [16]byte
	for i, g := range groups {
		a[2*i], a[2*i+1] = byte(g>>8), byte(g)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

func special4() []netip.Prefix {
	return []netip.Prefix{
		net4(0, 0, 0, 0, 8),        // this network, unspecified
		net4(10, 0, 0, 0, 8),       // private
		net4(100, 64, 0, 0, 10),    // shared by carriers
		net4(127, 0, 0, 0, 8),      // loopback
		net4(169, 254, 0, 0, 16),   // link-local, metadata of clouds
		net4(172, 16, 0, 0, 12),    // private
		net4(192, 0, 0, 0, 24),     // protocol assignments
		net4(192, 0, 2, 0, 24),     // documentation
		net4(192, 31, 196, 0, 24),  // AS112
		net4(192, 52, 193, 0, 24),  // AMT
		net4(192, 88, 99, 0, 24),   // 6to4 relays
		net4(192, 168, 0, 0, 16),   // private
		net4(192, 175, 48, 0, 24),  // AS112
		net4(198, 18, 0, 0, 15),    // benchmarking
		net4(198, 51, 100, 0, 24),  // documentation
		net4(203, 0, 113, 0, 24),   // documentation
		net4(224, 0, 0, 0, 4),      // multicast
		net4(240, 0, 0, 0, 4),      // reserved, broadcast
		net4(168, 63, 129, 16, 32), // metadata of a cloud at a public address
	}
}

// globalUnicast6 is all that is assigned to the public internet. Outside of it are loopback, mapped addresses, NAT64, unique local, link-local, site-local and
// multicast addresses.
func globalUnicast6() netip.Prefix { return net6(3, 0x2000) }

func special6() []netip.Prefix {
	return []netip.Prefix{
		net6(23, 0x2001),                 // protocol assignments, Teredo, benchmarking, ORCHID
		net6(32, 0x2001, 0x0db8),         // documentation
		net6(16, 0x2002),                 // 6to4
		net6(48, 0x2620, 0x004f, 0x8000), // AS112
		net6(20, 0x3fff),                 // documentation
	}
}
