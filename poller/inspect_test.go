package poller

import (
	"encoding/json"
	"testing"
)

func TestInspection(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(100).row(7, with(ethernet("a"), "x18", "4|", "15", "")).row(8, map[string]string{"2": "4|b"})
	found, report := Inspect(t.Context(), serveOne(t, objects), Target{}, defined(t, ""))
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"os":"testbox","sysName":"sw1","sysObjectID":"1.3.6.1.4.1.9.1.1208","sysDescr":"Test switch","ports":[` +
		`{"ifIndex":7,"ifName":"a","ifDescr":"Ethernet a","ifAlias":"Ethernet a","ifType":"ethernetCsmacd","ifMtu":1500,` +
		`"ifSpeed":10000000000,"ifAdminStatus":"up","ifOperStatus":"up","ifPhysAddress":"0200000000ff","ifLastChange":100,` +
		`"ifInOctets":5000000006,"ifOutOctets":5000000010,"ifInErrors":14,"ifOutErrors":20,"ifInUcastPkts":7,` +
		`"ifOutUcastPkts":11,"ifInDiscards":13,"ifOutDiscards":19,"ifInBroadcastPkts":9,"ifOutBroadcastPkts":13,` +
		`"ifInMulticastPkts":8,"ifOutMulticastPkts":12},` +
		`{"ifIndex":8,"ifName":"b","ifDescr":"b","ifAlias":"b","ifSpeed":0}]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if report.Poll.Outcome != "up" || len(report.Poll.Ports) != 2 || len(report.Measurements) != 1 {
		t.Errorf("report %+v", report.Poll)
	}
}
