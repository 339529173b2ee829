// Runs the scenario with go-redis: commands in on stdin as JSON, replies out as JSON lines.
//
// usage: go-redis PORT PROTOCOL
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// plain is the reply as JSON; a map stays a map, an error becomes {"$error": text}.
func plain(reply interface{}) interface{} {
	switch reply := reply.(type) {
	case error:
		return map[string]interface{}{"$error": reply.Error()}
	case []interface{}:
		list := make([]interface{}, 0, len(reply))
		for _, item := range reply {
			list = append(list, plain(item))
		}
		return list
	case map[interface{}]interface{}:
		object := map[string]interface{}{}
		for key, value := range reply {
			object[fmt.Sprint(key)] = plain(value)
		}
		return object
	default:
		return reply
	}
}

func show(reply interface{}, err error) {
	if err == redis.Nil {
		reply = nil
	} else if err != nil {
		reply = err
	}
	line, err := json.Marshal(plain(reply))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func main() {
	protocol, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[1], Protocol: protocol})
	ctx := context.Background()
	var commands [][]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&commands); err != nil {
		panic(err)
	}
	for _, command := range commands {
		show(client.Do(ctx, command...).Result())
	}
	pipeline := client.Pipeline()
	var waiting []*redis.Cmd
	for _, command := range commands {
		waiting = append(waiting, pipeline.Do(ctx, command...))
	}
	// The first error in the pipeline; each command has its own below.
	_, _ = pipeline.Exec(ctx)
	for _, command := range waiting {
		show(command.Result())
	}
}
