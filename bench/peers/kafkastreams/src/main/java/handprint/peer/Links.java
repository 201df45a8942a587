package handprint.peer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Keeps the global store attacker -> identity by the identity events: formed and linked, no merges. */
final class Links extends ContextualProcessor<String, String, Void, Void> {
    static final String STORE = "links";
    private static final ObjectMapper JSON = new ObjectMapper();

    private KeyValueStore<String, byte[]> links;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        super.init(context);
        links = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, String> record) {
        JsonNode event;
        try {
            event = JSON.readTree(record.value());
        } catch (JsonProcessingException e) {
            return;
        }
        byte[] identity;
        try {
            identity = Ids.bytes(event.path("identity_uuid").asText());
        } catch (IllegalArgumentException e) {
            return;
        }
        switch (event.path("type").asText()) {
            case "identity.formed" -> event.path("observation_uuids").forEach(a -> links.put(a.asText(), identity));
            case "identity.observation.linked" -> links.put(event.path("observation_uuid").asText(), identity);
            default -> {
                // Merges are not part of this peer.
            }
        }
    }
}
