package simulator

import (
	"fmt"
	"slices"
)

const (
	systemGroup = "1.3.6.1.2.1.1."
	ifNumber    = "1.3.6.1.2.1.2.1"
	ifEntry     = "1.3.6.1.2.1.2.2.1."
	ifXEntry    = "1.3.6.1.2.1.31.1.1.1."
	snmpEngine  = "1.3.6.1.6.3.10.2.1."

	// netSNMPLinux is the sysObjectID of net-snmp's agent on Linux (NET-SNMP-TC).
	netSNMPLinux = "1.3.6.1.4.1.8072.3.2.10"
)

// kind says how an object's value comes about.
type kind uint8

const (
	kindStatic kind = iota
	kindCounter32
	kindCounter64
	kindPhysAddress
	kindSysName
	kindSysUpTime
	kindEngineID
	kindEngineBoots
	kindEngineTime
	kindDiscontinuity
)

// object is one object of every synthesised device.
type object struct {
	oid    []byte
	bind   []byte // kindStatic: the whole VarBind; else the OID with its header
	prefix int    // bytes of oid that name the object type
	value  int    // kindStatic: where the value begins in bind
	port   int    // whose ifIndex it has
	moves  bool   // it goes with the port when that gets another ifIndex
	kind   kind
	column Column
}

// layout is the objects that all synthesised devices share; only values differ. It is never changed once made.
type layout struct {
	model   Model
	objects []object
}

// newLayout makes the objects of healthy devices, or, narrow, those of devices without 64-bit counters.
func newLayout(c Config, model Model, narrow bool) *layout {
	l := &layout{model: model}
	l.system(c)
	l.interfaces(c)
	l.interfacesX(c, narrow)
	l.scalar(snmpEngine+"1", kindEngineID, nil)
	l.scalar(snmpEngine+"2", kindEngineBoots, nil)
	l.scalar(snmpEngine+"3", kindEngineTime, nil)
	l.scalar(snmpEngine+"4", kindStatic, appendInteger(nil, maxRequest))
	slices.SortFunc(l.objects, func(a, b object) int { return compareOID(a.oid, b.oid) })
	return l
}

func (l *layout) system(c Config) {
	id, _ := appendOID(nil, netSNMPLinux)
	descr := fmt.Sprintf("Pollux simulated switch, %d ports", c.Ports)
	l.scalar(systemGroup+"1", kindStatic, text(descr))
	l.scalar(systemGroup+"2", kindStatic, appendBytes(nil, tagOID, id))
	l.scalar(systemGroup+"3", kindSysUpTime, nil)
	l.scalar(systemGroup+"4", kindStatic, text("noc@example.net"))
	l.scalar(systemGroup+"5", kindSysName, nil)
	l.scalar(systemGroup+"6", kindStatic, text("Simulation"))
	l.scalar(systemGroup+"7", kindStatic, appendInteger(nil, 2)) // layer 2: a bridge
	l.scalar(ifNumber, kindStatic, appendInteger(nil, int64(c.Ports)))
}

// interfaces makes ifTable, columns 1 to 21 (RFC 2863).
func (l *layout) interfaces(c Config) {
	speed := uint64(1_000_000_000)
	if c.Only32Bit {
		speed = 100_000_000
	}
	zero := appendUnsigned(nil, tagGauge32, 0)
	for port := 1; port <= c.Ports; port++ {
		l.cell(ifEntry, 1, port, appendInteger(nil, int64(port)))
		l.cell(ifEntry, 2, port, text(portName(c, port)))
		l.cell(ifEntry, 3, port, appendInteger(nil, 6)) // ethernetCsmacd
		l.cell(ifEntry, 4, port, appendInteger(nil, 1500))
		l.cell(ifEntry, 5, port, appendUnsigned(nil, tagGauge32, speed))
		l.add(ifEntry, 6, port, object{kind: kindPhysAddress}, nil)
		l.cell(ifEntry, 7, port, appendInteger(nil, 1)) // ifAdminStatus up
		l.cell(ifEntry, 8, port, appendInteger(nil, 1)) // ifOperStatus up
		l.cell(ifEntry, 9, port, appendUnsigned(nil, tagTimeTicks, 0))
		for i, column := range []Column{InOctets, InUcastPkts, InNUcastPkts, InDiscards, InErrors, InUnknownProtos,
			OutOctets, OutUcastPkts, OutNUcastPkts, OutDiscards, OutErrors} {
			l.add(ifEntry, 10+i, port, object{kind: kindCounter32, column: column}, nil)
		}
		l.cell(ifEntry, 21, port, zero)
	}
}

// interfacesX makes ifXTable, columns 1 to 19 (RFC 2863).
func (l *layout) interfacesX(c Config, narrow bool) {
	speed := uint64(1000)
	if c.Only32Bit {
		speed = 100
	}
	for port := 1; port <= c.Ports; port++ {
		l.cell(ifXEntry, 1, port, text(portName(c, port)))
		if !c.Only32Bit {
			for i, column := range []Column{InMulticastPkts, InBroadcastPkts, OutMulticastPkts, OutBroadcastPkts} {
				l.add(ifXEntry, 2+i, port, object{kind: kindCounter32, column: column}, nil)
			}
		}
		if !c.Only32Bit && !narrow {
			for i, column := range []Column{InOctets, InUcastPkts, InMulticastPkts, InBroadcastPkts,
				OutOctets, OutUcastPkts, OutMulticastPkts, OutBroadcastPkts} {
				l.add(ifXEntry, 6+i, port, object{kind: kindCounter64, column: column}, nil)
			}
		}
		l.cell(ifXEntry, 14, port, appendInteger(nil, 1)) // ifLinkUpDownTrapEnable enabled
		l.cell(ifXEntry, 15, port, appendUnsigned(nil, tagGauge32, speed))
		l.cell(ifXEntry, 16, port, appendInteger(nil, 2)) // ifPromiscuousMode false
		l.cell(ifXEntry, 17, port, appendInteger(nil, 1)) // ifConnectorPresent true
		l.cell(ifXEntry, 18, port, text(fmt.Sprintf("Port %d", port)))
		l.add(ifXEntry, 19, port, object{kind: kindDiscontinuity}, nil)
	}
}

func portName(c Config, port int) string {
	if c.Only32Bit {
		return fmt.Sprintf("FastEthernet0/%d", port)
	}
	return fmt.Sprintf("GigabitEthernet0/%d", port)
}

func text(s string) []byte { return appendBytes(nil, tagOctetString, []byte(s)) }

func (l *layout) scalar(name string, kind kind, value []byte) {
	oid, _ := appendOID(nil, name)
	prefix := len(oid)
	l.place(append(oid, 0), object{prefix: prefix, kind: kind}, value)
}

// cell adds an object of a table whose value is the same in all devices.
func (l *layout) cell(entry string, column, port int, value []byte) {
	l.add(entry, column, port, object{}, value)
}

func (l *layout) add(entry string, column, port int, o object, value []byte) {
	oid, _ := appendOID(nil, fmt.Sprint(entry, column))
	o.prefix, o.port, o.moves = len(oid), port, entry != ifEntry || column > 1
	l.place(appendSubidentifier(oid, uint64(port)), o, value)
}

func (l *layout) place(oid []byte, o object, value []byte) {
	if o.kind == kindStatic {
		o.bind = appendBinding(nil, oid, value)
		o.value = len(o.bind) - len(value)
	} else {
		o.bind = appendBytes(nil, tagOID, oid)
	}
	o.oid = oid
	l.objects = append(l.objects, o)
}

func (l *layout) size() int { return len(l.objects) }

func (l *layout) oid(i int) []byte { return l.objects[i].oid }

func (l *layout) wide(i int) bool { return l.objects[i].kind == kindCounter64 }

func (l *layout) pastWide(i int) int { return i + 1 }

func (l *layout) sameType(i int, oid []byte) bool { return l.objects[i].names(oid) }

// names says whether an OID begins with the name of the object's type.
func (o *object) names(oid []byte) bool {
	return len(oid) >= o.prefix && string(oid[:o.prefix]) == string(o.oid[:o.prefix])
}

func (l *layout) appendObject(dst []byte, i int, at *moment) []byte {
	o := &l.objects[i]
	from := o // whose value it is
	if o.moves && len(l.model.sick) > 0 {
		// The objects of a column lie next to each other, by ifIndex.
		from = &l.objects[i-o.port+l.model.portAt(at.device, o.port, at.now)]
	}
	return l.appendAs(dst, o, from, at)
}

// value is the encoded value of an object.
func (l *layout) value(o *object, at *moment) []byte {
	if o.kind != kindStatic {
		return l.appendValue(nil, o, at)
	}
	binding, _, _ := readExpected(o.bind, tagSequence)
	_, value, _ := readExpected(binding, tagOID)
	return value
}

func (l *layout) appendOne(dst []byte, o *object, at *moment) []byte {
	return l.appendAs(dst, o, o, at)
}

// appendAs appends an object with the value of another one of its type. It relies on
// every computed VarBind being shorter than 128 bytes, so that its length is one byte.
func (l *layout) appendAs(dst []byte, o, from *object, at *moment) []byte {
	if o.kind == kindStatic {
		if from != o {
			return appendBinding(dst, o.oid, from.bind[from.value:])
		}
		return append(dst, o.bind...)
	}
	mark := len(dst) + 1
	dst = append(dst, tagSequence, 0)
	dst = append(dst, o.bind...)
	dst = l.appendValue(dst, from, at)
	dst[mark] = byte(len(dst) - mark - 1)
	return dst
}

func (l *layout) appendValue(dst []byte, o *object, at *moment) []byte {
	switch o.kind {
	case kindCounter32:
		value := uint64(uint32(l.model.counter(at.device, o.port, o.column, at.now)))
		at.truth.note(at, o, value)
		return appendUnsigned(dst, tagCounter32, value)
	case kindCounter64:
		value := l.model.counter(at.device, o.port, o.column, at.now)
		at.truth.note(at, o, value)
		return appendUnsigned(dst, tagCounter64, value)
	case kindPhysAddress:
		d, p := at.device, o.port
		return append(dst, tagOctetString, 6, 2, byte(d>>16), byte(d>>8), byte(d), byte(p>>8), byte(p))
	case kindSysName:
		return appendBytes(dst, tagOctetString, sysName(at.device))
	case kindSysUpTime:
		return appendUnsigned(dst, tagTimeTicks, uint64(uint32(l.model.running(at.device, at.now)/tick)))
	case kindEngineID:
		return appendBytes(dst, tagOctetString, engineID(at.device))
	case kindEngineBoots:
		return appendInteger(dst, l.model.boots(at.device, at.now))
	case kindDiscontinuity:
		return appendUnsigned(dst, tagTimeTicks, uint64(l.model.discontinuity(at.device, o.port, at.now)))
	default:
		return appendInteger(dst, l.model.running(at.device, at.now)/1_000_000_000)
	}
}

func sysName(device int) []byte { return fmt.Appendf(nil, "sim-%05d", device) }

// engineID is snmpEngineID in the text form of RFC 3411 (SnmpEngineID, format 4) under net-snmp's enterprise number, 8072.
func engineID(device int) []byte {
	return append([]byte{0x80, 0x00, 0x1f, 0x88, 0x04}, sysName(device)...)
}
