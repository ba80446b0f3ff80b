package membercardtest

// State returns everything the server stores, in clear.
func (s *Server) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var points []int64
	for _, u := range s.userCards {
		points = append(points, u.points)
	}
	return string(encode([]any{
		s.cards, s.userCards, points, s.exchanges, s.activities, s.tokens, s.feeds, s.pictures,
	}))
}

// AllEffects counts what was carried out.
func (s *Server) AllEffects() (n int) {
	for _, effects := range s.effects {
		n += effects
	}
	return n
}

// SignedMessage is what the fake expects to be signed.
func SignedMessage(method, uri, timestamp, nonce, body string) string {
	return signedMessage(method, uri, timestamp, nonce, body)
}
