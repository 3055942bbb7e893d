package main

import "testing"

// TestPrivacyProtocolsHaveTheNamesOfSNMPTools stores one name for what net-snmp and others call by several.
func TestPrivacyProtocolsHaveTheNamesOfSNMPTools(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"aes": "AES", "AES-128": "AES", "aes128": "AES", "AES256": "AES-256", "aes-192": "AES-192", "AES256-C": "AES-256-C", "des": "DES", "rot13": "ROT13", "": "",
	} {
		if got := privacy(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
