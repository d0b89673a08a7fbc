// OpenAI's JavaScript client against the server at argv[2]; prints what it got as one JSON document.
import OpenAI from "openai";

const [, , baseURL, chatModel, vectorModel] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France? Answer in one sentence." }];
const options = { model: chatModel, messages, temperature: 0, max_completion_tokens: 40 };

const whole = await client.chat.completions.create(options);

let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...options, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}

const response = await client.responses.create({
  model: chatModel,
  input: messages[0].content,
  temperature: 0,
  max_output_tokens: 40,
});

// The client asks for base64 by itself, and gives out numbers.
const vectors = await client.embeddings.create({ model: vectorModel, input: ["the cat", "кот"] });

let refusal = {};
try {
  await client.chat.completions.create({ ...options, temperature: 9 });
} catch (error) {
  refusal = { status: error.status, param: error.param };
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(JSON.stringify({
  content: whole.choices[0].message.content,
  streamed,
  response: response.output_text,
  widths: vectors.data.map((item) => item.embedding.length),
  refusal,
  models,
}));
