// First is the first program of the README: it reads a member's card with the key files in the folder keys.
//
//	go run ./examples/first
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/wechatpay-cards/membercard"
)

func main() {
	config, err := membercard.LoadConfig(os.DirFS("keys")) // the folder with the merchant's files
	if err != nil {
		log.Fatal(err)
	}
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	card, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState, card.Level) // client.Decrypt decrypts card.PhoneNumber
}
