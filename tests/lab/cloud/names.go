package cloud

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// randomHex returns n random hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, (n+1)/2)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)[:n]
}

func digits(s string) string {
	return strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, s)
}

// shortened truncates a name as clouds do in the names of nodes.
func shortened(name string, most int) string {
	if len(name) > most {
		name = name[:most]
	}
	return strings.Trim(name, "-")
}
