// Validates an AsyncAPI document with AsyncAPI's own parser, its Avro schemas
// included: node check.mjs FILE. The parser as such takes an Avro schema for what
// it is, so each is given to the Avro schema parser here.
import { readFile } from 'node:fs/promises';
import { Parser, DiagnosticSeverity } from '@asyncapi/parser';
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser';
import yaml from 'js-yaml';

const file = process.argv[2];
const text = await readFile(file, 'utf8');
const avroParser = AvroSchemaParser();
const parser = new Parser();
parser.registerSchemaParser(avroParser);
const { document, diagnostics } = await parser.parse(text, { source: file });

// Advice about what nobody needs to say is shown; anything worse fails.
const words = ['error', 'warning', 'information', 'hint'];
for (const d of diagnostics) {
  console.log(`${file}:${d.range.start.line + 1}: ${words[d.severity]}: ${d.message} (${d.code}, ${d.path.join('.')})`);
}
const bad = diagnostics.filter((d) => d.severity <= DiagnosticSeverity.Warning);
if (!document || bad.length > 0) {
  console.error(`asyncapi: ${file} has ${bad.length} problem(s)`);
  process.exit(1);
}
let avro = 0;
for (const [id, message] of Object.entries(yaml.load(text).components.messages)) {
  const { schemaFormat, schema } = message.payload;
  if (!schemaFormat) {
    continue;
  }
  if (!avroParser.getMimeTypes().includes(schemaFormat)) {
    console.error(`asyncapi: ${id} has a schema of the format ${schemaFormat}`);
    process.exit(1);
  }
  for (const problem of await avroParser.validate({ data: schema, path: [id] })) {
    console.error(`asyncapi: the Avro schema of ${id}: ${problem.message}`);
    process.exit(1);
  }
  avro++;
}
console.log(`${file}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.operations().length} operations, ` +
  `${document.components().messages().length} messages, ${avro} of them Avro`);
