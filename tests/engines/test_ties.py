"""What the tests on a GPU compare outputs with: which differences are ties."""

from __future__ import annotations

from networks import network, prompts


def test_a_tie_is_a_token_that_scores_as_the_best_but_for_rounding() -> None:
    """Scores are computed by hand: the output layer alone decides between tokens whose rows are nearly equal."""
    import torch
    from ties import same

    model, (prompt, *_) = network("Llama"), prompts(18)
    scores = model(torch.tensor([prompt.token_ids])).logits[0, -1]
    best, other = int(scores.argmax()), int(scores.argsort()[0])
    assert same(model, prompt, [best, 3], [best, 3])
    assert not same(model, prompt, [other, 3], [best, 3])
    with torch.no_grad():
        model.lm_head.weight[other] = model.lm_head.weight[best] * (1 - 2e-5)
    assert same(model, prompt, [other, 3], [best, 3])
    assert not same(model, prompt, [best], [best, 3]), "one of them is cut off"
    with torch.no_grad():
        model.lm_head.weight[other] = model.lm_head.weight[best] * (1 - 1e-3)
    assert not same(model, prompt, [other, 3], [best, 3])
