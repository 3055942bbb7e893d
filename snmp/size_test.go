package snmp

import (
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"
)

// The size is that of what the encoder makes.
func TestVariableSize(t *testing.T) {
	t.Parallel()
	const oid = ".1.3.6.1.2.1.2.2.1.10.4294967295.127.128.16384"
	message := func(variables ...gosnmp.SnmpPDU) int {
		p := gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: strings.Repeat("c", 300), PDUType: gosnmp.GetResponse, Variables: variables}
		raw, err := p.MarshalMsg()
		if err != nil {
			t.Fatal(err)
		}
		return len(raw)
	}
	// Texts of more than 255 bytes, so that all lengths around the variable take as many bytes with it and without.
	pad := gosnmp.SnmpPDU{Name: ".1.3.6", Type: gosnmp.OctetString, Value: strings.Repeat("x", 300)}
	for _, v := range []gosnmp.SnmpPDU{
		{Type: gosnmp.Integer, Value: 0}, {Type: gosnmp.Integer, Value: -1}, {Type: gosnmp.Integer, Value: 127}, {Type: gosnmp.Integer, Value: 128}, {Type: gosnmp.Integer, Value: -32769},
		{Type: gosnmp.Counter32, Value: uint32(1<<32 - 1)}, {Type: gosnmp.Gauge32, Value: uint32(127)}, {Type: gosnmp.TimeTicks, Value: uint32(1 << 15)},
		{Type: gosnmp.Counter64, Value: uint64(5_000_000_006)}, {Type: gosnmp.OctetString, Value: "GigabitEthernet1/0/1"}, {Type: gosnmp.OctetString, Value: ""},
		{Type: gosnmp.OctetString, Value: strings.Repeat("y", 130)}, {Type: gosnmp.OctetString, Value: strings.Repeat("y", 260)},
		{Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.4.1.9.1.1208"}, {Type: gosnmp.IPAddress, Value: "192.0.2.1"}, {Type: gosnmp.NoSuchInstance}, {Type: gosnmp.EndOfMibView},
	} {
		v.Name = oid
		decoded := v
		if text, ok := v.Value.(string); ok && v.Type == gosnmp.OctetString {
			decoded.Value = []byte(text)
		}
		if got, want := VariableSize(trimDot(oid), newValue(&decoded)), message(pad, v)-message(pad); got != want {
			t.Errorf("%v %v takes %d bytes, want %d", v.Type, v.Value, got, want)
		}
	}
}
