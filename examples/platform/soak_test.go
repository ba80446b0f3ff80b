package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestSoak: under a steady load memory and goroutines stay where they are. PLATFORM_SOAK is for how long, half a minute at least.
func TestSoak(t *testing.T) {
	period, err := time.ParseDuration(os.Getenv("PLATFORM_SOAK"))
	if err != nil {
		t.Skip("PLATFORM_SOAK says no duration")
	}
	t.Parallel()
	s := newScene(t, filepath.Join(t.TempDir(), "platform.db"), 1)
	samples := map[string][]float64{}
	names := []string{"process_resident_memory_bytes", "go_memstats_heap_inuse_bytes", "go_goroutines"}
	members, sales := 0, 0
	var cards []membercard.UserCard
	for start := time.Now(); time.Since(start) < period; {
		card := s.fake.OpenUserCard(s.template.CardID, fmt.Sprint("user-", members))
		members++
		_, err := s.fake.Notify(t.Context(), &membercard.UserCardCreated{UserCard: card})
		assert.NoError(t, err)
		cards = append(cards, card)
		for _, card := range cards[max(0, len(cards)-4):] {
			s.post("/points", of(card, map[string]any{"id": fmt.Sprint(sales), "points": 1}))
			s.post("/details", of(card, map[string]any{"level": fmt.Sprint("等级", sales%9)}))
			sales++
		}
		now := s.measure()
		for _, name := range names {
			samples[name] = append(samples[name], now[name])
		}
		time.Sleep(200 * time.Millisecond)
	}
	assert.Greater(t, members, 50)
	for _, name := range names {
		all := samples[name]
		early, late := median(all[len(all)/3:2*len(all)/3]), median(all[2*len(all)/3:])
		t.Logf("%-32s %.0f in the second third of %v, %.0f in the last", name, early, period, late)
		assert.Less(t, late, early*1.15, name)
	}
	t.Logf("%d members, %d sales", members, sales)
}

// measure reads the metrics of the first machine.
func (s *scene) measure() map[string]float64 {
	response, err := http.Get("http://" + s.addresses[0] + "/metrics")
	require.NoError(s.t, err)
	defer response.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var value float64
		if name, text, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			if _, err := fmt.Sscan(text, &value); err == nil {
				found[name] = value
			}
		}
	}
	return found
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
