package membercardtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/wechatpay-cards/membercard"
)

// Seed is what a server has to begin with. What a field left empty becomes, the methods of the same names say.
type Seed struct {
	Cards           []membercard.Card           `json:"cards,omitempty"`
	UserCards       []membercard.UserCard       `json:"user_cards,omitempty"`
	Activities      []membercard.Activity       `json:"activities,omitempty"`
	PointsExchanges []membercard.PointsExchange `json:"points_exchanges,omitempty"`
}

// ParseSeed reads a seed from JSON. An error names the object that it is about, such as user_cards[3].
func ParseSeed(data []byte) (Seed, error) {
	var lists map[string][]json.RawMessage
	if err := json.Unmarshal(data, &lists); err != nil {
		return Seed{}, fmt.Errorf("the seed is no JSON object of lists: %w", err)
	}
	var seed Seed
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if !slices.Contains([]string{"cards", "user_cards", "activities", "points_exchanges"}, name) {
			errs = append(errs, fmt.Errorf("%s is not known; known are cards, user_cards, activities and points_exchanges", name))
		}
		for i, element := range lists[name] {
			var err error
			switch name {
			case "cards":
				err = appendTo(&seed.Cards, element)
			case "user_cards":
				err = appendTo(&seed.UserCards, element)
			case "activities":
				err = appendTo(&seed.Activities, element)
			case "points_exchanges":
				err = appendTo(&seed.PointsExchanges, element)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s[%d]: %w", name, i, err))
			}
		}
	}
	return seed, errors.Join(errs...)
}

func appendTo[T any](list *[]T, element []byte) error {
	value, err := decodeKnown[T](element)
	if err == nil {
		*list = append(*list, value)
	}
	return err
}

// decodeKnown decodes JSON without members that the type does not have.
func decodeKnown[T any](data []byte) (value T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if string(bytes.TrimSpace(data)) == "null" {
		return value, errors.New("null is no JSON object")
	}
	if err = decoder.Decode(&value); err == nil {
		if _, end := decoder.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is something behind the JSON value")
		}
	}
	return value, err
}

// Plant adds a seed, each object as the method for it does. An error names the object that could not be added; those before it
// were.
func (s *Server) Plant(seed Seed) error {
	return errors.Join(
		addEach("cards", seed.Cards, func(c membercard.Card) { s.AddCard(c) }),
		addEach("user_cards", seed.UserCards, func(u membercard.UserCard) { s.AddUserCard(u) }),
		addEach("activities", seed.Activities, func(a membercard.Activity) { s.AddActivity(a) }),
		addEach("points_exchanges", seed.PointsExchanges, func(e membercard.PointsExchange) { s.AddPointsExchange(e) }),
	)
}

func addEach[T any](name string, list []T, add func(T)) error {
	for i, element := range list {
		if err := try(func() { add(element) }); err != nil {
			return fmt.Errorf("%s[%d]: %w", name, i, err)
		}
	}
	return nil
}

// try turns the panic of a method for tests into an error.
func try(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(strings.TrimPrefix(fmt.Sprint(p), "membercardtest: "))
		}
	}()
	f()
	return nil
}
