package snmp

import (
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// errUndecodable is an answer that the decoder does not understand.
var errUndecodable = fmt.Errorf("%w: not decodable", ErrUnexpected)

// encode makes the message for one try.
func (s *Session) encode(q query, id uint32, discovering bool) (message []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			message, err = nil, fmt.Errorf("encoding the request: %s", detail(fmt.Sprint(fault)))
		}
	}()
	if discovering {
		return discovery(id)
	}
	p := &s.packet
	p.PDUType, p.RequestID, p.MsgID, p.MaxRepetitions = q.pdu, id, id, q.repetitions
	p.Variables = p.Variables[:0]
	for _, name := range q.names {
		p.Variables = append(p.Variables, gosnmp.SnmpPDU{Name: name, Type: gosnmp.Null})
	}
	if s.usm != nil {
		s.usm.seal()
	}
	message, err = p.MarshalMsg()
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %s", detail(err.Error()))
	}
	return message, nil
}

// decode turns a message that has passed all checks into an answer. The decoder
// may still panic on what was encrypted, so that is caught here.
func (s *Session) decode(message []byte, id uint32) (a answer, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			a, err = answer{}, fmt.Errorf("%w: %s", errUndecodable, detail(fmt.Sprint(fault)))
		}
	}()
	packet, err := s.decoder.SnmpDecodePacket(message)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %s", errUndecodable, detail(err.Error()))
	}
	if packet.PDUType == gosnmp.Report && len(packet.Variables) > 0 {
		return answer{}, newReport(trimDot(packet.Variables[0].Name))
	}
	if packet.PDUType != gosnmp.GetResponse || packet.RequestID != id {
		return answer{}, fmt.Errorf("%w: no response to this request", ErrUnexpected)
	}
	return answer{
		status: int(packet.Error), index: int(packet.ErrorIndex), variables: packet.Variables, bytes: len(message),
	}, nil
}
