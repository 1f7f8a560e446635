// The metrics as they cross the wire, by the names that Python has for them.
export const METRICS = {
  probability: { label: "p", title: "probability", unit: "%", contrasted: false },
  log_probability: { label: "log p", title: "log-probability", unit: "nats", contrasted: false },
  logit_difference: { label: "logit difference", title: "logit difference", unit: "", contrasted: true },
};
