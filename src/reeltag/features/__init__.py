"""Clips and captions go in, features come out: extractors behind one interface, and the job.

registry.make(modality, name)         an extractor by name
job.extract(dataset, visual=[...])    every post of a dataset
single.features_of(manifests, ...)    one raw clip and caption
"""
