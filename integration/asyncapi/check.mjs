// Validates an AsyncAPI document with AsyncAPI's own parser, its Avro schemas
// included: node check.mjs FILE. Every message that is not JSON or opaque must
// have come through the Avro schema parser.
import { readFile } from 'node:fs/promises';
import { Parser, DiagnosticSeverity } from '@asyncapi/parser';
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser';

const file = process.argv[2];
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(await readFile(file, 'utf8'), { source: file });

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
const messages = document.components().messages().all();
const avro = messages.filter((m) => m.contentType() === 'application/vnd.apache.avro');
for (const m of avro) {
  if (Object.keys(m.payload().properties() ?? {}).length === 0) {
    console.error(`asyncapi: the Avro schema of ${m.id()} was not understood`);
    process.exit(1);
  }
}
console.log(`${file}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.operations().length} operations, ` +
  `${messages.length} messages, ${avro.length} of them Avro`);
