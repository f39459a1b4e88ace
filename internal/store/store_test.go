package store_test

import (
	"testing"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestConformance(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { storetest.Run(t, e) })
	}
}
