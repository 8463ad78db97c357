package memory

import "testing"

func TestHistoryIsOfFixedSizeAndCoversTheWholeLife(t *testing.T) {
	l := thinning[int]{room: make([]int, 0, 8), every: 1}
	r := ring[int]{room: make([]int, 0, 4)}
	for i := range 1000 {
		l.add(i)
		r.add(i)
	}
	if len(l.room) > 8 || l.room[0] != 0 || l.room[len(l.room)-1] < 800 {
		t.Errorf("%v", l.room)
	}
	for i := 2; i < len(l.room); i++ {
		if l.room[i]-l.room[i-1] != l.room[1]-l.room[0] {
			t.Errorf("not evenly: %v", l.room)
		}
	}
	if got := r.all(); len(got) != 4 || got[0] != 996 || got[3] != 999 {
		t.Errorf("%v", got)
	}
}
